"""Why MLflow did not take what was sent, in words that say what to do about it. No mlflow here."""

NOT_LET_IN = (
    "it lets in no one without a user and password that it knows (401): "
    "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, must be set to such"
)
NOT_ALLOWED = (
    "the user in MLFLOW_TRACKING_USERNAME may not do there what this takes (403): "
    "the permission EDIT on the experiment is needed"
)
NOT_ITS_NAME = (
    "it does not answer to that name (403): MLFLOW_SERVER_ALLOWED_HOSTS must hold it where the server is started"
)
OF_ITS_NAME = "Invalid Host header"
"""What MLflow's answer has in it where it is asked by a name that is not one of its own."""


def reason(error: Exception) -> str:
    """A clause: what a refusal asks for, what became of a connection, or else the error's first line."""
    status = _status(error)
    if status == 401:
        return NOT_LET_IN
    if status == 403:
        return NOT_ITS_NAME if OF_ITS_NAME in str(error) else NOT_ALLOWED
    line = str(error).partition("\n")[0]
    if "failed with exception" not in line:
        return line
    return line.rpartition("(Caused by ")[2].rpartition(": ")[2].removesuffix('"))')


def _status(error: Exception) -> int | None:
    """The HTTP status that the error is about, as MLflow's own and the HTTP library's errors hold it."""
    ask = getattr(error, "get_http_status_code", None)
    status = ask() if ask else getattr(getattr(error, "response", None), "status_code", None)
    return None if status is None else int(status)
