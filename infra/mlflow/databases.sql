-- A role that owns MLflow's two databases and may do nothing else. Its password is read from PGPASSWORD.
\set ON_ERROR_STOP on
\getenv password PGPASSWORD
CREATE ROLE mlflow LOGIN PASSWORD :'password';
CREATE DATABASE mlflow OWNER mlflow;
CREATE DATABASE mlflow_auth OWNER mlflow;

-- The container's image asks for a password of the superuser's: without one nobody gets in over the network as him.
\getenv of_superuser POSTGRES_PASSWORD
\if :{?of_superuser}
ALTER ROLE postgres PASSWORD NULL;
\endif
