"""Makes the bucket of MLFLOW_ARTIFACTS_DESTINATION at MLFLOW_S3_ENDPOINT_URL, unless it is there already."""

import os
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import ClientError


def main() -> None:
    """Returns once the bucket is there. Raises ClientError where the keys may not make it."""
    bucket = urlsplit(os.environ["MLFLOW_ARTIFACTS_DESTINATION"]).netloc
    s3 = boto3.client("s3", endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"])
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] != "404":
            raise
        s3.create_bucket(Bucket=bucket)


if __name__ == "__main__":
    main()
