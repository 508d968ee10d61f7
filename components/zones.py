"""Zones of a Region in which Fargate runs Linux containers, where those are not all of them.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/AWS_Fargate-Regions.html
"""

from collections.abc import Mapping, Sequence

# By id, as a zone's name is another zone's in another account:
# https://docs.aws.amazon.com/ram/latest/userguide/working-with-az-ids.html
FARGATE_ZONES: Mapping[str, Sequence[str]] = {
    "ap-northeast-1": ("apne1-az1", "apne1-az2", "apne1-az4"),
    "cn-north-1": ("cnn1-az1", "cnn1-az2"),
    "us-west-1": ("usw1-az1", "usw1-az3"),
}
