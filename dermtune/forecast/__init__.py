"""What a sweep would take and what it could see, before anything is started."""

from dermtune.forecast.answers import answer
from dermtune.forecast.costs import FirstStage
from dermtune.forecast.foreseen import Forecast, forecast
from dermtune.forecast.pacing import Pace, pace
from dermtune.forecast.seeing import Known
from dermtune.forecast.table import print_forecast

__all__ = ["FirstStage", "Forecast", "Known", "Pace", "answer", "forecast", "pace", "print_forecast"]
