#!/bin/sh
# Serves MLflow for a team. The systemd unit and the compose file both run this file, so they cannot come to differ.
#
#   start.sh            serve
#   start.sh upgrade    bring both databases to the schema of the MLflow that is installed; stop the server first
#
# Every setting comes from the environment, as mlflow.env.example lists them: a command line is there for all on the
# machine to read. Where PostgreSQL is, and as whom, libpq reads from PGHOST, PGPORT, PGUSER and PGPASSWORD itself, so
# the URI below, the one in auth.ini and MLflow's log hold no secret.
set -eu

unset_names=
for name in PGHOST PGPASSWORD MLFLOW_ARTIFACTS_DESTINATION MLFLOW_SERVER_ALLOWED_HOSTS MLFLOW_FLASK_SERVER_SECRET_KEY; do
    eval "value=\${$name:-}"
    [ -n "$value" ] || unset_names="$unset_names $name"
done
if [ -n "$unset_names" ]; then
    echo "start.sh: must be set and not empty, see mlflow.env.example:$unset_names" >&2
    exit 2
fi

here="$(dirname "$0")"
export PGUSER="${PGUSER:-mlflow}"
export MLFLOW_BACKEND_STORE_URI=postgresql+psycopg2:///mlflow
export MLFLOW_AUTH_CONFIG_PATH="$here/auth.ini"
export MLFLOW_DISABLE_TELEMETRY=true
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false # jobs judge language models; nothing here runs any

case "${1:-serve}" in
serve)
    exec mlflow server --app-name basic-auth --serve-artifacts
    ;;
upgrade)
    mlflow db upgrade "$MLFLOW_BACKEND_STORE_URI"
    exec python -m mlflow.server.auth db upgrade --url "$(sed -n 's/^database_uri = //p' "$MLFLOW_AUTH_CONFIG_PATH")"
    ;;
*)
    echo "start.sh: must be called with upgrade or nothing, got $1" >&2
    exit 2
    ;;
esac
