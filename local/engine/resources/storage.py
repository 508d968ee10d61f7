"""Buckets with their side resources, and tables → Amazon S3 and DynamoDB."""

from typing import Any

from local.engine.resources.context import Context, document, given, pairs, pascal
from local.engine.resources.handler import Handler, Name, put, retag
from local.engine.state import Created, Properties, Registration, State


def bucket(context: Context, registration: Registration) -> Created:
    """A bucket in the stack's Region."""
    inputs = registration.inputs
    name: str = inputs["bucket"]
    elsewhere: Any = {"LocationConstraint": context.region}
    context.s3.create_bucket(
        Bucket=name,
        **given(
            CreateBucketConfiguration=None if context.region == "us-east-1" else elsewhere,
            ObjectLockEnabledForBucket=inputs.get("objectLockEnabled"),
        ),
    )
    if inputs["tags"]:
        context.s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": pairs(inputs["tags"])})
    return Created(
        name,
        {
            "arn": f"arn:aws:s3:::{name}",
            "bucket": name,
            "region": context.region,
            "bucketRegion": context.region,
            "bucketDomainName": f"{name}.s3.amazonaws.com",
            "bucketRegionalDomainName": f"{name}.s3.{context.region}.amazonaws.com",
        },
    )


def _tag_bucket(context: Context, registration: Registration, before: State) -> None:
    if tags := registration.inputs["tags"]:
        context.s3.put_bucket_tagging(Bucket=before.id, Tagging={"TagSet": pairs(tags)})
    else:
        context.s3.delete_bucket_tagging(Bucket=before.id)


def _delete_bucket(context: Context, state: State) -> None:
    if state.inputs.get("forceDestroy"):
        for page in context.s3.get_paginator("list_object_versions").paginate(Bucket=state.id):
            found: list[Any] = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            if found:
                objects: Any = [{"Key": o["Key"], "VersionId": o["VersionId"]} for o in found]
                context.s3.delete_objects(Bucket=state.id, Delete={"Objects": objects})
    context.s3.delete_bucket(Bucket=state.id)


def bucket_versioning(context: Context, registration: Registration) -> Created:
    """Whether a bucket keeps the versions of its objects."""
    inputs = registration.inputs
    context.s3.put_bucket_versioning(
        Bucket=inputs["bucket"],
        VersioningConfiguration={"Status": inputs["versioningConfiguration"]["status"]},
    )
    return Created(inputs["bucket"], {})


def bucket_encryption(context: Context, registration: Registration) -> Created:
    """How a bucket's objects are encrypted."""
    inputs = registration.inputs
    rules: list[Any] = []
    for rule in inputs["rules"]:
        default: Properties | None = rule.get("applyServerSideEncryptionByDefault")
        rules.append(
            given(
                ApplyServerSideEncryptionByDefault=default
                and given(
                    SSEAlgorithm=default["sseAlgorithm"],
                    KMSMasterKeyID=default.get("kmsMasterKeyId"),
                ),
                BucketKeyEnabled=rule.get("bucketKeyEnabled"),
            )
        )
    context.s3.put_bucket_encryption(
        Bucket=inputs["bucket"], ServerSideEncryptionConfiguration={"Rules": rules}
    )
    context.not_honoured("Objects are not encrypted: they are files of this user's", registration)
    return Created(inputs["bucket"], {})


def bucket_public_access_block(context: Context, registration: Registration) -> Created:
    """The four switches that keep a bucket private."""
    inputs = registration.inputs
    context.s3.put_public_access_block(
        Bucket=inputs["bucket"],
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": bool(inputs.get("blockPublicAcls")),
            "BlockPublicPolicy": bool(inputs.get("blockPublicPolicy")),
            "IgnorePublicAcls": bool(inputs.get("ignorePublicAcls")),
            "RestrictPublicBuckets": bool(inputs.get("restrictPublicBuckets")),
        },
    )
    return Created(inputs["bucket"], {})


def bucket_ownership_controls(context: Context, registration: Registration) -> Created:
    """Who owns the objects that others put into a bucket."""
    inputs = registration.inputs
    context.s3.put_bucket_ownership_controls(
        Bucket=inputs["bucket"],
        OwnershipControls={"Rules": [{"ObjectOwnership": inputs["rule"]["objectOwnership"]}]},
    )
    return Created(inputs["bucket"], {})


def bucket_policy(context: Context, registration: Registration) -> Created:
    """The policy of a bucket."""
    inputs = registration.inputs
    context.s3.put_bucket_policy(Bucket=inputs["bucket"], Policy=document(inputs["policy"]))
    return Created(inputs["bucket"], {})


def bucket_cors(context: Context, registration: Registration) -> Created:
    """Which web pages may use a bucket."""
    inputs = registration.inputs
    rules: Any = [pascal(rule) for rule in inputs["corsRules"]]
    context.s3.put_bucket_cors(Bucket=inputs["bucket"], CORSConfiguration={"CORSRules": rules})
    return Created(inputs["bucket"], {})


def bucket_lifecycle(context: Context, registration: Registration) -> Created:
    """When objects, their old versions and unfinished uploads go."""
    inputs = registration.inputs
    context.s3.put_bucket_lifecycle_configuration(
        Bucket=inputs["bucket"],
        LifecycleConfiguration={"Rules": [_lifecycle_rule(rule) for rule in inputs["rules"]]},
    )
    context.not_honoured("Lifecycle rules expire nothing", registration)
    return Created(inputs["bucket"], {})


def _lifecycle_rule(rule: Properties) -> Any:  # noqa: ANN401 -- a LifecycleRule
    criteria: Properties = rule.get("filter") or {}
    both: Properties | None = criteria.get("and")
    if both is not None:
        tags = [{"Key": key, "Value": value} for key, value in (both.get("tags") or {}).items()]
        rest = {key: value for key, value in both.items() if key != "tags"}
        condition = {"And": pascal(rest) | ({"Tags": tags} if tags else {})}
    else:
        condition = pascal(criteria) or {"Prefix": ""}
    return given(
        ID=rule.get("id"),
        Status=rule["status"],
        Filter=condition,
        Expiration=pascal(rule.get("expiration")),
        NoncurrentVersionExpiration=pascal(rule.get("noncurrentVersionExpiration")),
        AbortIncompleteMultipartUpload=pascal(rule.get("abortIncompleteMultipartUpload")),
        Transitions=pascal(rule.get("transitions")),
        NoncurrentVersionTransitions=pascal(rule.get("noncurrentVersionTransitions")),
    )


def bucket_notification(context: Context, registration: Registration) -> Created:
    """All notifications of a bucket: this replaces whatever it had."""
    inputs = registration.inputs
    configuration: dict[str, Any] = given(
        EventBridgeConfiguration={} if inputs.get("eventbridge") else None,
        QueueConfigurations=_notifications(inputs.get("queues"), "queueArn", "QueueArn"),
        TopicConfigurations=_notifications(inputs.get("topics"), "topicArn", "TopicArn"),
        LambdaFunctionConfigurations=_notifications(
            inputs.get("lambdaFunctions"), "lambdaFunctionArn", "LambdaFunctionArn"
        ),
    )
    context.s3.put_bucket_notification_configuration(
        Bucket=inputs["bucket"],
        NotificationConfiguration=configuration,  # pyright: ignore[reportArgumentType] -- built by key
    )
    return Created(inputs["bucket"], {})


def _notifications(
    entries: list[Properties] | None, key: str, member: str
) -> list[dict[str, Any]] | None:
    return [
        given(
            Id=entry.get("id"),
            Events=entry["events"],
            Filter=_key_filter(entry.get("filterPrefix"), entry.get("filterSuffix")),
        )
        | {member: entry[key]}
        for entry in entries or []
    ] or None


def _key_filter(prefix: str | None, suffix: str | None) -> dict[str, Any] | None:
    rules = [
        {"Name": name, "Value": value}
        for name, value in (("prefix", prefix), ("suffix", suffix))
        if value
    ]
    return {"Key": {"FilterRules": rules}} if rules else None


def table(context: Context, registration: Registration) -> Created:
    """A DynamoDB table."""
    inputs = registration.inputs
    name: str = inputs["name"]
    stream = inputs.get("streamEnabled")
    on_demand = inputs.get("billingMode") == "PAY_PER_REQUEST"
    indexes: list[Any] = [
        given(
            IndexName=index["name"],
            KeySchema=_keys(index),
            Projection=given(
                ProjectionType=index["projectionType"],
                NonKeyAttributes=index.get("nonKeyAttributes"),
            ),
            ProvisionedThroughput=None if on_demand else _throughput(index),
        )
        for index in inputs.get("globalSecondaryIndexes") or []
    ]
    made = context.dynamodb.create_table(
        TableName=name,
        KeySchema=_keys(inputs),
        AttributeDefinitions=[
            {"AttributeName": a["name"], "AttributeType": a["type"]} for a in inputs["attributes"]
        ],
        BillingMode=inputs.get("billingMode") or "PROVISIONED",
        **given(
            ProvisionedThroughput=None if on_demand else _throughput(inputs),
            GlobalSecondaryIndexes=indexes or None,
            StreamSpecification=given(
                StreamEnabled=True, StreamViewType=inputs.get("streamViewType")
            )
            if stream
            else None,
            Tags=pairs(inputs["tags"]) or None,
        ),
    )["TableDescription"]
    _expire(context, name, inputs.get("ttl"))
    return Created(
        name,
        {
            "arn": made.get("TableArn", ""),
            "name": name,
            "streamArn": made.get("LatestStreamArn", ""),
        },
    )


def _keys(of: Properties) -> list[Any]:
    keys = [{"AttributeName": of["hashKey"], "KeyType": "HASH"}]
    if of.get("rangeKey"):
        keys.append({"AttributeName": of["rangeKey"], "KeyType": "RANGE"})
    return keys


def _throughput(of: Properties) -> dict[str, int]:
    read, write = of.get("readCapacity") or 1, of.get("writeCapacity") or 1
    return {"ReadCapacityUnits": read, "WriteCapacityUnits": write}


def _expire(context: Context, table: str, ttl: Properties | None) -> None:
    if ttl:
        context.dynamodb.update_time_to_live(
            TableName=table,
            TimeToLiveSpecification={
                "Enabled": bool(ttl.get("enabled", True)),
                "AttributeName": ttl["attributeName"],
            },
        )


def _update_table(context: Context, registration: Registration, before: State) -> None:
    inputs, arn = registration.inputs, before.outputs["arn"]
    sizes = ("billingMode", "readCapacity", "writeCapacity")
    if any(inputs.get(key) != before.inputs.get(key) for key in sizes):
        on_demand = inputs.get("billingMode") == "PAY_PER_REQUEST"
        context.dynamodb.update_table(
            TableName=before.id,
            BillingMode=inputs.get("billingMode") or "PROVISIONED",
            **given(ProvisionedThroughput=None if on_demand else _throughput(inputs)),
        )
    _expire(context, before.id, inputs.get("ttl"))
    retag(registration, before, context.dynamodb, pairs, ResourceArn=arn)


def _side(create: Any, delete: Any, exists: Any) -> Handler:  # noqa: ANN401 -- as Handler has them
    """A resource that sets one aspect of a bucket."""
    return Handler(create, delete, put(create), frozenset({"bucket"}), exists)


HANDLERS: dict[str, Handler] = {
    "aws:s3/bucket:Bucket": Handler(
        bucket,
        _delete_bucket,
        _tag_bucket,
        frozenset({"bucket", "bucketPrefix", "objectLockEnabled"}),
        lambda c, s: c.s3.head_bucket(Bucket=s.id),
        # Bucket names have no capitals: Pulumi lowers the logical name.
        name=Name(63, key="bucket", lower=True),
        tagged=True,
    ),
    "aws:s3/bucketVersioning:BucketVersioning": _side(
        bucket_versioning,
        lambda c, s: c.s3.put_bucket_versioning(
            Bucket=s.id, VersioningConfiguration={"Status": "Suspended"}
        ),
        lambda c, s: c.s3.get_bucket_versioning(Bucket=s.id),
    ),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": _side(
        bucket_encryption,
        lambda c, s: c.s3.delete_bucket_encryption(Bucket=s.id),
        lambda c, s: c.s3.get_bucket_encryption(Bucket=s.id),
    ),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": _side(
        bucket_public_access_block,
        lambda c, s: c.s3.delete_public_access_block(Bucket=s.id),
        lambda c, s: c.s3.get_public_access_block(Bucket=s.id),
    ),
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": _side(
        bucket_ownership_controls,
        lambda c, s: c.s3.delete_bucket_ownership_controls(Bucket=s.id),
        lambda c, s: c.s3.get_bucket_ownership_controls(Bucket=s.id),
    ),
    "aws:s3/bucketPolicy:BucketPolicy": _side(
        bucket_policy,
        lambda c, s: c.s3.delete_bucket_policy(Bucket=s.id),
        lambda c, s: c.s3.get_bucket_policy(Bucket=s.id),
    ),
    "aws:s3/bucketCorsConfiguration:BucketCorsConfiguration": _side(
        bucket_cors,
        lambda c, s: c.s3.delete_bucket_cors(Bucket=s.id),
        lambda c, s: c.s3.get_bucket_cors(Bucket=s.id),
    ),
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": _side(
        bucket_lifecycle,
        lambda c, s: c.s3.delete_bucket_lifecycle(Bucket=s.id),
        lambda c, s: c.s3.get_bucket_lifecycle_configuration(Bucket=s.id),
    ),
    "aws:s3/bucketNotification:BucketNotification": _side(
        bucket_notification,
        lambda c, s: c.s3.put_bucket_notification_configuration(
            Bucket=s.id, NotificationConfiguration={}
        ),
        lambda c, s: c.s3.get_bucket_notification_configuration(Bucket=s.id),
    ),
    "aws:dynamodb/table:Table": Handler(
        table,
        lambda c, s: c.dynamodb.delete_table(TableName=s.id),
        _update_table,
        frozenset({"name", "hashKey", "rangeKey", "attributes", "globalSecondaryIndexes"}),
        lambda c, s: c.dynamodb.describe_table(TableName=s.id),
        name=Name(255),
        tagged=True,
    ),
}
