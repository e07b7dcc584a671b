"""What a sweep would take and what it could see, before anything is started."""

from dermtune.forecast.answer import answer
from dermtune.forecast.costs import FirstStage
from dermtune.forecast.foreseen import Forecast, forecast
from dermtune.forecast.pace import Pace, pace
from dermtune.forecast.sight import Known
from dermtune.forecast.table import print_forecast

__all__ = ["FirstStage", "Forecast", "Known", "Pace", "answer", "forecast", "pace", "print_forecast"]
