"""What a company's image may do: payments by who sent them, from the uploads to the results."""

import csv
import json
import os
import sys
from collections import Counter

import boto3

UNKNOWN = "不明"


def main() -> int:
    """Read the upload, if one started this, and write its sums; 4 where a sender is unknown."""
    if not (os.environ["DB_PASSWORD"] and os.environ["API_TOKEN"]):
        return 78
    bucket, key = os.environ.get("BUCKET"), os.environ.get("OBJECT_KEY")
    if not bucket or not key:
        sys.stdout.write(f"対象 {' '.join(sys.argv[1:])}\n")
        return 0
    s3 = boto3.client("s3")
    text = s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode("utf-8")
    sums: Counter[str] = Counter()
    for row in csv.DictReader(text.splitlines()):
        sums[row["振込人"]] += int(row["金額"])
    to = f"{os.environ['RESULTS_PREFIX']}{key}.json"
    body = json.dumps(sums, ensure_ascii=False).encode()
    s3.put_object(Bucket=os.environ["RESULTS_BUCKET"], Key=to, Body=body)
    sys.stdout.write(f"{len(sums)} 件, {sum(sums.values())} 円 -> {to}\n")
    return 4 if UNKNOWN in sums else 0


if __name__ == "__main__":
    sys.exit(main())
