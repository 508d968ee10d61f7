"""Signed requests written otherwise than SDKs do: authorised as what they do, or refused."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import local.cloud
from local.cloud import ACCOUNT, Cloud
from local.services.iam import iam
from tests.local.gate.raw import Answer, request, send
from tests.local.probe import REGION

ROLE = "batch"
FORM = "application/x-www-form-urlencoded"
POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}
GRANTS: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": ["iam:GetRole", "sqs:ListQueues", "lambda:GetAccountSettings"],
            "Resource": "*",
        },
        {
            "Effect": "Allow",
            "Action": ["s3:ListBucket", "s3:GetBucket*", "s3:PutBucketTagging", "s3:GetAnalytics*"],
            "Resource": "*",
        },
        {"Effect": "Allow", "Action": "s3:*Object", "Resource": "arn:aws:s3:::uploads/mine/*"},
    ],
}


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local.cloud, "_PARTS", (iam,))
        with Cloud(0, REGION) as opened:
            s3, roles = opened.client("s3"), opened.client("iam")
            s3.create_bucket(
                Bucket="uploads", CreateBucketConfiguration={"LocationConstraint": REGION}
            )
            for key in ("secret", "/mine/x", "mine/a"):
                s3.put_object(Bucket="uploads", Key=key, Body=b"rows")
            trust = {
                "Effect": "Allow",
                "Principal": {"Service": "ecs-tasks.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
            document = {"Version": "2012-10-17", "Statement": [trust]}
            roles.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(document))
            roles.put_role_policy(
                RoleName=ROLE, PolicyName="grants", PolicyDocument=json.dumps(GRANTS)
            )
            yield opened


@pytest.fixture
def task(cloud: Cloud) -> Credentials:
    arn = f"arn:aws:iam::{cloud.account}:role/{ROLE}"
    session = iam.start_session(arn, "ecs-tasks.amazonaws.com", "task")
    return Credentials(session.access_key_id, session.secret_access_key, session.session_token)


Ask = Callable[..., Answer]


@pytest.fixture
def ask(cloud: Cloud, task: Credentials) -> Ask:
    """Send a request that the task's session signed, exactly as it is given."""

    def asked(
        service: str,
        method: str,
        target: str,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        credentials: Credentials = task,
    ) -> Answer:
        sign = S3SigV4Auth if service == "s3" else SigV4Auth
        signed = AWSRequest(method, f"{cloud.endpoint}{target}", dict(headers or {}), body)
        sign(credentials, service, REGION).add_auth(signed)
        own = {"Host": f"127.0.0.1:{cloud.port}", **dict(signed.headers.items())}
        return send(cloud.port, request(method, target, own, body))

    return asked


def denied(answer: Answer) -> bool:
    return answer.status in {400, 403} and (b"AccessDenied" in answer.body)


PUT_ROLE_POLICY = urlencode(
    {
        "Action": "PutRolePolicy",
        "Version": "2010-05-08",
        "RoleName": ROLE,
        "PolicyName": "all",
        "PolicyDocument": json.dumps(POLICY),
    }
).encode()


@pytest.mark.parametrize(
    "content_type",
    [FORM, FORM.upper(), "text/plain", "application/json", "multipart/form-data", "", None],
)
def test_a_task_cannot_grant_itself_anything_whatever_the_type(
    cloud: Cloud, ask: Ask, content_type: str | None
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    found = ask("iam", "POST", "/", headers, PUT_ROLE_POLICY)
    assert denied(found)
    assert b"iam:PutRolePolicy" in found.body
    policies = cloud.client("iam").list_role_policies(RoleName=ROLE)["PolicyNames"]
    assert policies == ["grants"]


@pytest.mark.parametrize(
    ("target", "headers", "body"),
    [
        ("/?Action=GetRole", {"Content-Type": FORM}, PUT_ROLE_POLICY),
        ("/?Action=GetRole", {"Content-Type": "text/plain"}, PUT_ROLE_POLICY),
        ("/", {}, b"Action=GetRole&" + PUT_ROLE_POLICY),
        ("/", {}, PUT_ROLE_POLICY + b"&Action=GetRole"),
        ("/", {}, PUT_ROLE_POLICY + b"&RoleName=other"),
        ("/", {"X-Amz-Target": "IAMService.GetRole"}, PUT_ROLE_POLICY),
        (
            "/",
            {
                "X-Amz-Target": "AWSIdentityManagementV20100508.PutRolePolicy",
                "Content-Type": "application/x-amz-json-1.0",
            },
            b'{"Action": "GetRole"}',
        ),
        ("/", {"Content-Encoding": "gzip"}, PUT_ROLE_POLICY),
        ("/iam", {}, PUT_ROLE_POLICY),
    ],
)
def test_an_operation_that_is_named_twice_is_done_neither_way(
    cloud: Cloud, ask: Ask, target: str, headers: dict[str, str], body: bytes
) -> None:
    found = ask("iam", "POST", target, headers, body)
    assert found.status in {400, 403, 404}
    policies = cloud.client("iam").list_role_policies(RoleName=ROLE)["PolicyNames"]
    assert policies == ["grants"]


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Amz-Target": "AmazonSQS.CreateQueue"},
        {"X-Amz-Target": "AmazonSQS.CreateQueue", "Content-Type": "text/plain"},
        {"X-Amz-Target": "AmazonSQS.ListQueues.CreateQueue"},
        {"X-Amz-Target": "AmazonSQS.CreateQueue, AmazonSQS.ListQueues"},
        {"X-Amz-Target": "Other.CreateQueue"},
    ],
)
@pytest.mark.parametrize("target", ["/", "/?Action=ListQueues", "/queue"])
def test_a_target_is_what_is_authorised(
    cloud: Cloud, ask: Ask, headers: dict[str, str], target: str
) -> None:
    found = ask("sqs", "POST", target, headers, b'{"QueueName": "of-the-task"}')
    assert found.status in {400, 403, 404}
    assert not cloud.client("sqs").list_queues().get("QueueUrls")


HERE = f"{REGION}:{ACCOUNT}"
MACHINE, TOPIC = f"arn:aws:states:{HERE}:stateMachine", f"arn:aws:sns:{HERE}"
TABLE, QUEUE = f"arn:aws:dynamodb:{HERE}:table", f"arn:aws:sqs:{HERE}"
SECRET = f"arn:aws:secretsmanager:{HERE}:secret:"
ONLY_MINE = [
    f"{MACHINE}:mine",
    f"{TOPIC}:mine",
    f"{TABLE}/mine",
    f"{QUEUE}:mine",
    f"{SECRET}mine-??????",
    f"arn:aws:ssm:{HERE}:parameter/mine/*",
    f"arn:aws:events:{HERE}:rule/mine",
    f"arn:aws:logs:{HERE}:log-group:/mine:*",
    f"arn:aws:iam::{ACCOUNT}:role/mine",
    f"arn:aws:iam::{ACCOUNT}:user/mine",
    f"arn:aws:lambda:{HERE}:function:mine",
]
QUEUES = f"http://127.0.0.1/{ACCOUNT}"
# Each names what is its sender's in one member or place, and means another by the others.
TOLD_TWICE: list[tuple[str, str, dict[str, Any]]] = [
    (
        "states",
        "AWSStepFunctions.StartExecution",
        {"stateMachineArn": f"{MACHINE}:other", "mapRunArn": f"{MACHINE}:mine"},
    ),
    (
        "states",
        "AWSStepFunctions.ListExecutions",
        {"stateMachineArn": f"{MACHINE}:other", "mapRunArn": f"{MACHINE}:mine"},
    ),
    (
        "states",
        "AWSStepFunctions.TagResource",
        {"stateMachineArn": f"{MACHINE}:mine", "resourceArn": f"{MACHINE}:other", "tags": []},
    ),
    ("events", "AWSEvents.DeleteRule", {"Name": "other", "Rule": "mine"}),
    (
        "logs",
        "Logs_20140328.FilterLogEvents",
        {"logGroupName": "/mine", "logGroupIdentifier": "/other"},
    ),
    (
        "logs",
        "Logs_20140328.StartQuery",
        {
            "logGroupName": "/mine",
            "logGroupNames": ["/other"],
            "startTime": 0,
            "endTime": 1,
            "queryString": "fields @message",
        },
    ),
    (
        "dynamodb",
        "DynamoDB_20120810.BatchGetItem",
        {"TableName": "mine", "RequestItems": {"other": {"Keys": [{"id": {"S": "a"}}]}}},
    ),
    (
        "dynamodb",
        "DynamoDB_20120810.ExecuteStatement",
        {"TableName": "mine", "Statement": "SELECT * FROM other"},
    ),
    ("ssm", "AmazonSSM.GetParameters", {"Name": "/mine/x", "Names": ["/other/x"]}),
    ("ssm", "AmazonSSM.GetParameters", {"Names": ["/mine/x", "/other/x"]}),
    ("ssm", "AmazonSSM.DeleteParameters", {"Name": "/mine/x", "Names": ["/other/x"]}),
    ("secretsmanager", "secretsmanager.CreateSecret", {"SecretId": "mine", "Name": "another"}),
    (
        "sqs",
        "AmazonSQS.CreateQueue",
        {"QueueName": "another", "QueueUrl": f"{QUEUES}/mine"},
    ),
    (
        "sqs",
        "AmazonSQS.SendMessage",
        {"QueueUrl": f"{QUEUES}/other?/mine", "MessageBody": "x"},
    ),
    (
        "sqs",
        "AmazonSQS.SendMessage",
        {"QueueUrl": f"{QUEUES}/other#/mine", "MessageBody": "x"},
    ),
    ("sqs", "", {"Action": "CreateQueue", "QueueName": "another", "QueueUrl": f"{QUEUES}/mine"}),
    (
        "sns",
        "",
        {
            "Action": "Publish",
            "Message": "x",
            "TopicArn": f"{TOPIC}:mine",
            "TargetArn": f"{TOPIC}:other",
        },
    ),
    ("sns", "", {"Action": "CreateTopic", "Name": "another", "TopicArn": f"{TOPIC}:mine"}),
    (
        "sns",
        "",
        {
            "Action": "GetSubscriptionAttributes",
            "TopicArn": f"{TOPIC}:mine",
            "SubscriptionArn": f"{TOPIC}:other:1",
        },
    ),
    ("iam", "", {"Action": "DeleteUser", "RoleName": "mine", "UserName": "other"}),
    ("iam", "", {"Action": "AddUserToGroup", "UserName": "mine", "GroupName": "other"}),
    (
        "iam",
        "",
        {
            "Action": "AddRoleToInstanceProfile",
            "RoleName": "mine",
            "InstanceProfileName": "other",
        },
    ),
]


@pytest.mark.parametrize(
    "row", TOLD_TWICE, ids=[f"{row[0]}-{row[1] or row[2]}" for row in TOLD_TWICE]
)
def test_what_is_asked_for_is_what_is_authorised(
    cloud: Cloud, ask: Ask, row: tuple[str, str, dict[str, Any]]
) -> None:
    service, target, given = row
    grant = {"Effect": "Allow", "Action": "*", "Resource": ONLY_MINE}
    policy = {"Version": "2012-10-17", "Statement": [grant]}
    roles = cloud.client("iam")
    roles.put_role_policy(RoleName=ROLE, PolicyName="mine", PolicyDocument=json.dumps(policy))
    if target:
        found = ask(service, "POST", "/", {"X-Amz-Target": target}, json.dumps(given).encode())
    else:
        found = ask(service, "POST", "/", {"Content-Type": FORM}, urlencode(given).encode())
    roles.delete_role_policy(RoleName=ROLE, PolicyName="mine")
    refused = ("Denied", "AuthorizationError", "may be given", "InvalidAddress")
    assert found.status in {400, 403, 404}
    assert any(word in found.body.decode() for word in refused), found.body


PASSED = f"arn:aws:iam::{ACCOUNT}:role/{ROLE}"
PASSES: list[tuple[str, str, str, dict[str, Any]]] = [
    (
        "ecs",
        "POST",
        "AmazonEC2ContainerServiceV20141113.RegisterTaskDefinition",
        {"family": "f", "taskRoleArn": PASSED, "containerDefinitions": []},
    ),
    (
        "ecs",
        "POST",
        "AmazonEC2ContainerServiceV20141113.RegisterTaskDefinition",
        {"family": "f", "executionRoleArn": PASSED, "containerDefinitions": []},
    ),
    (
        "events",
        "POST",
        "AWSEvents.PutTargets",
        {"Rule": "r", "Targets": [{"Id": "a", "Arn": QUEUE}, {"Id": "b", "RoleArn": PASSED}]},
    ),
    ("events", "POST", "AWSEvents.PutRule", {"Name": "r", "RoleArn": PASSED}),
    (
        "states",
        "POST",
        "AWSStepFunctions.CreateStateMachine",
        {"name": "m", "definition": "{}", "roleArn": PASSED},
    ),
    (
        "states",
        "POST",
        "AWSStepFunctions.UpdateStateMachine",
        {"stateMachineArn": f"{MACHINE}:m", "roleArn": PASSED},
    ),
    ("logs", "POST", "Logs_20140328.PutSubscriptionFilter", {"roleArn": PASSED}),
    ("lambda", "POST", "/2015-03-31/functions", {"FunctionName": "f", "Role": PASSED}),
    ("lambda", "PUT", "/2015-03-31/functions/f/configuration", {"Role": PASSED}),
    ("scheduler", "POST", "/schedules/s", {"Target": {"Arn": QUEUE, "RoleArn": PASSED}}),
]


@pytest.mark.parametrize("row", PASSES, ids=[f"{row[0]}-{row[2]}" for row in PASSES])
def test_who_hands_a_role_over_must_be_allowed_to(
    cloud: Cloud, ask: Ask, row: tuple[str, str, str, dict[str, Any]]
) -> None:
    service, method, target, given = row
    grant = {"Effect": "Allow", "Action": f"{service}:*", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [grant]}
    roles = cloud.client("iam")
    roles.put_role_policy(RoleName=ROLE, PolicyName="all", PolicyDocument=json.dumps(policy))
    headers = {} if target.startswith("/") else {"X-Amz-Target": target}
    path = target if target.startswith("/") else "/"
    found = ask(service, method, path, headers, json.dumps(given).encode())
    roles.delete_role_policy(RoleName=ROLE, PolicyName="all")
    assert found.status in {400, 403}
    assert f"iam:PassRole on resource: {PASSED} because" in found.body.decode()


@pytest.mark.parametrize(
    ("header", "action"),
    [
        ("x-amz-tagging", "s3:PutObjectTagging"),
        ("x-amz-acl", "s3:PutObjectAcl"),
        ("x-amz-grant-read", "s3:PutObjectAcl"),
        ("x-amz-object-lock-legal-hold", "s3:PutObjectLegalHold"),
    ],
)
def test_what_a_header_says_of_an_object_is_authorised_too(
    cloud: Cloud, ask: Ask, header: str, action: str
) -> None:
    grant = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::uploads/tags/*"}
    policy = {"Version": "2012-10-17", "Statement": [grant]}
    roles = cloud.client("iam")
    roles.put_role_policy(RoleName=ROLE, PolicyName="tags", PolicyDocument=json.dumps(policy))
    found = [
        ask("s3", "PUT", "/uploads/tags/a", {header: "a=b"}, b"rows"),
        ask("s3", "PUT", f"/uploads/tags/a?{header}=a%3Db", {}, b"rows"),
        ask("s3", "POST", "/uploads/tags/a?uploads", {header: "a=b"}),
    ]
    roles.delete_role_policy(RoleName=ROLE, PolicyName="tags")
    for one in found:
        assert one.status == 403
        assert f"{action} on resource".encode() in one.body


def test_an_operation_of_a_rest_service_is_its_path_alone(ask: Ask) -> None:
    functions = "/2015-03-31/functions"
    for target in (
        f"{functions}?Action=GetAccountSettings",
        f"{functions}/a%2F..%2F..%2Faccount-settings",
        f"{functions}/a/../../account-settings",
        f"{functions}?x=/account-settings",
    ):
        found = ask("lambda", "GET", target, {"X-Amz-Target": "x.GetAccountSettings"})
        assert found.status in {403, 404}, target
        assert b'"Functions"' not in found.body
    assert ask("lambda", "GET", "/2016-08-19/account-settings").status == 200


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("GET", "/uploads/secret", {}),
        ("GET", "/uploads/secret?Action=ListBucket", {}),
        ("GET", "/uploads/secret", {"X-Amz-Target": "x.ListBucket"}),
        ("GET", "/uploads/secret?location", {}),
        ("GET", "/uploads/secret?versioning&x-id=GetObject", {}),
        ("GET", "//uploads/secret", {}),
        ("GET", "/uploads//mine/x", {}),
        ("PUT", "/uploads//mine/x", {}),
        ("PUT", "/uploads/mine", {}),
        ("PUT", "/uploads/other?tagging&acl", {}),
        ("PUT", "/uploads/other?website", {}),
        ("DELETE", "/uploads/secret?tagging&acl", {}),
        ("DELETE", "/uploads/secret?cors", {}),
        ("PUT", "/uploads/mine/copy", {"x-amz-copy-source": "/uploads/secret"}),
        ("PUT", "/uploads/mine/copy", {"x-amz-copy-source": "uploads%2Fsecret"}),
        ("PATCH", "/uploads/mine/a", {}),
        ("GET", "/uploads?policyStatus", {}),
        ("PUT", "/uploads?policy", {}),
    ],
)
def test_an_object_is_reached_by_no_other_name_or_action(
    cloud: Cloud, ask: Ask, method: str, target: str, headers: dict[str, str]
) -> None:
    found = ask("s3", method, target, headers, b"of the task" if method == "PUT" else b"")
    assert found.status in {400, 403, 405, 501}
    assert found.body != b"rows"
    listed = cloud.client("s3").list_objects_v2(Bucket="uploads")["Contents"]
    assert [entry["Key"] for entry in listed] == ["/mine/x", "mine/a", "secret"]
    assert {entry["Size"] for entry in listed} == {4}


def test_what_the_role_allows_goes_through(ask: Ask) -> None:
    assert ask("s3", "GET", "/uploads/mine/a").body == b"rows"
    assert ask("s3", "GET", "/uploads?list-type=2").status == 200
    assert ask("s3", "GET", "/uploads?location").status == 200
    role = f"Action=GetRole&Version=2010-05-08&RoleName={ROLE}".encode()
    assert ask("iam", "POST", "/", {"Content-Type": FORM}, role).status == 200
    assert ask("iam", "GET", f"/?{role.decode()}").status == 200
    queues = ask("sqs", "POST", "/", {"X-Amz-Target": "AmazonSQS.ListQueues"}, b"{}")
    assert queues.status == 200


@pytest.mark.parametrize(
    "objects",
    [
        "<Object><Key>secret</Key><Key>mine/gone</Key></Object>",
        "<Object><Key>mine/gone</Key><Key>secret</Key></Object>",
        "<Object><Key>mine/gone</Key></Object><Object><Key>secret</Key></Object>",
        "<Deeper><Object><Key>secret</Key></Object></Deeper><Object><Key>mine/gone</Key></Object>",
    ],
)
def test_each_of_several_objects_is_authorised(cloud: Cloud, ask: Ask, objects: str) -> None:
    found = ask("s3", "POST", "/uploads?delete", {}, f"<Delete>{objects}</Delete>".encode())
    assert found.status in {400, 403}
    assert cloud.client("s3").head_object(Bucket="uploads", Key="secret")["ContentLength"] == 4


def test_a_version_is_not_deleted_by_who_may_delete_objects(cloud: Cloud, ask: Ask) -> None:
    s3 = cloud.client("s3")
    version = s3.put_object(Bucket="uploads", Key="mine/kept", Body=b"rows").get(
        "VersionId", "null"
    )
    one = f"<Object><Key>mine/kept</Key><VersionId>{version}</VersionId></Object>"
    for objects in (one, f"<Object><Key>mine/none</Key></Object>{one}"):
        body = f"<Delete>{objects}</Delete>".encode()
        found = ask("s3", "POST", "/uploads?delete", {}, body)
        assert (found.status, b"s3:DeleteObjectVersion on" in found.body) == (403, True)
    s3.delete_object(Bucket="uploads", Key="mine/kept")


def test_a_session_that_is_over_stays_over(
    cloud: Cloud, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = f"arn:aws:iam::{cloud.account}:role/{ROLE}"
    over = iam.start_session(arn, "ecs-tasks.amazonaws.com", "over", seconds=1)
    key = Credentials(over.access_key_id, over.secret_access_key, over.session_token)
    list_roles = b"Action=ListRoles&Version=2010-05-08"
    later = time.time() + 2
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: later)
        found = ask("iam", "POST", "/", {}, list_roles, credentials=key)
        assert b"ExpiredToken" in found.body
        # A new session is the moment at which those that are over are forgotten.
        iam.start_session(arn, "ecs-tasks.amazonaws.com", "next")
        found = ask("iam", "POST", "/", {}, list_roles, credentials=key)
    assert found.status == 403
    assert b"InvalidClientTokenId" in found.body


def test_no_other_spelling_of_a_key_is_the_developer(
    cloud: Cloud, ask: Ask, task: Credentials
) -> None:
    users = cloud.client("iam")
    users.create_user(UserName="person")
    made = users.create_access_key(UserName="person")["AccessKey"]
    person, secret = made["AccessKeyId"], made["SecretAccessKey"]
    list_roles = b"Action=ListRoles&Version=2010-05-08"
    spelt = [
        Credentials(task.access_key.lower(), task.secret_key, task.token),
        Credentials(task.access_key.lower(), task.secret_key),
        Credentials(task.access_key.title(), "test"),
        Credentials(f"{task.access_key}X", "test"),
        Credentials(person.lower(), secret),
        Credentials(person, secret, "token"),
        Credentials(person, "guessed"),
    ]
    answers = [ask("iam", "POST", "/", {}, list_roles, credentials=one) for one in spelt]
    assert [answer.status for answer in answers] == [403] * len(spelt)
    held = Credentials(person, secret)
    assert denied(ask("iam", "POST", "/", {}, list_roles, credentials=held))
    users.delete_access_key(UserName="person", AccessKeyId=person)
    assert ask("iam", "POST", "/", {}, list_roles, credentials=held).status == 403
    users.delete_user(UserName="person")


WRONG: list[tuple[str, str, object, str]] = [
    ("ecs", "AmazonEC2ContainerServiceV20141113.ListTasks", [], "SerializationException"),
    ("ecs", "AmazonEC2ContainerServiceV20141113.ListTasks", "x", "SerializationException"),
    ("ecs", "AmazonEC2ContainerServiceV20141113.ListTasks", {"cluster": 1}, "NUMBER_VALUE"),
    ("ecs", "AmazonEC2ContainerServiceV20141113.ListTasks", {"maxResults": "x"}, "STRING_VALUE"),
    ("ecs", "AmazonEC2ContainerServiceV20141113.DescribeTasks", {"tasks": "x"}, "Unexpected token"),
    ("ecs", "AmazonEC2ContainerServiceV20141113.DescribeTasks", {"tasks": {}}, "structure or map"),
    ("events", "AWSEvents.PutEvents", {"Entries": [1]}, "Unexpected token"),
    ("events", "AWSEvents.PutEvents", {"Entries": {"a": 1}}, "structure or map"),
    ("logs", "Logs_20140328.PutLogEvents", {"logEvents": [[]]}, "Start of list"),
    ("dynamodb", "DynamoDB_20120810.PutItem", {"Item": {"a": "b"}}, "Unexpected token"),
    ("states", "AWSStepFunctions.StartExecution", {"input": {}}, "structure or map"),
    ("sqs", "AmazonSQS.SendMessage", {"QueueUrl": [], "MessageBody": ""}, "Start of list"),
    ("kms", "TrentService.DescribeKey", {"KeyId": True}, "BOOLEAN_VALUE"),
]


@pytest.mark.parametrize("row", WRONG, ids=[f"{row[1]}-{row[2]}" for row in WRONG])
@pytest.mark.parametrize("key", ["test", "task"])
def test_a_wrong_type_is_told_in_awss_words(
    ask: Ask, task: Credentials, row: tuple[str, str, object, str], key: str
) -> None:
    service, target, document, words = row
    credentials = task if key == "task" else Credentials("test", "test")
    found = ask(
        service,
        "POST",
        "/",
        {"X-Amz-Target": target},
        json.dumps(document).encode(),
        credentials=credentials,
    )
    assert found.status == 400
    assert words in found.body.decode()
    assert json.loads(found.body)["__type"] == "SerializationException"


def test_what_cannot_be_found_is_told_in_awss_words(ask: Ask) -> None:
    developer = Credentials("test", "test")
    rows: list[tuple[str, str, dict[str, str]]] = [
        ("ecs", "AmazonEC2ContainerServiceV20141113.ListTasks", {"nextToken": "x"}),
        ("ecs", "AmazonEC2ContainerServiceV20141113.ListTaskDefinitions", {"nextToken": "-"}),
        ("sqs", "AmazonSQS.ListQueues", {"NextToken": "9" * 5000}),
        ("sqs", "AmazonSQS.SendMessage", {"QueueUrl": "", "MessageBody": "x"}),
    ]
    for service, target, given in rows:
        body = json.dumps(given).encode()
        found = ask(service, "POST", "/", {"X-Amz-Target": target}, body, credentials=developer)
        assert found.status in {400, 404}, target
    sms = urlencode({"Action": "Publish", "PhoneNumber": "+1", "Message": "x"}).encode()
    assert ask("sns", "POST", "/", {}, sms, credentials=developer).status == 200


@pytest.mark.parametrize(
    "target",
    [
        "/uploads?max-keys=x",
        "/uploads?list-type=2&max-keys=99999999999",
        "/uploads?uploads&max-uploads=%C2%B2",
        "/uploads/mine/a?uploadId=a&max-parts=x",
    ],
)
def test_what_is_no_number_of_s3s_is_told_in_awss_words(ask: Ask, target: str) -> None:
    found = ask("s3", "GET", target, credentials=Credentials("test", "test"))
    assert (found.status, b"not an integer or within" in found.body) == (400, True)


def test_no_body_that_says_nothing_breaks_anything(ask: Ask) -> None:
    developer = Credentials("test", "test")
    lists = "AmazonEC2ContainerServiceV20141113.ListClusters"
    assert (
        ask("ecs", "POST", "/", {"X-Amz-Target": lists}, b"null", credentials=developer).status
        == 200
    )
    create = ask("lambda", "POST", "/2015-03-31/functions", {}, b"null", credentials=developer)
    assert create.status == 400
    policy = ask("s3", "PUT", "/uploads?policy", {}, b"\xff", credentials=developer)
    assert (policy.status, b"MalformedPolicy" in policy.body) == (400, True)


BROKEN: list[tuple[str, str, bytes, int, str]] = [
    ("iam", "Action=ListRoles&MaxItems=many", b"", 400, "MalformedInput"),
    ("iam", "Action=ListRoles&MaxItems=1&MaxItems=2", b"", 400, "MalformedQueryString"),
    ("iam", "Action=Nothing", b"", 400, "InvalidAction"),
    ("ec2", "Action=DescribeVpcs&MaxResults=x", b"", 400, "MalformedInput"),
    ("ec2", "Action=DescribeVpcs&DryRun=maybe", b"", 400, "MalformedInput"),
    ("sns", "Action=%ff", b"", 400, "MalformedQueryString"),
]


@pytest.mark.parametrize("row", BROKEN, ids=[f"{row[0]}-{row[1]}" for row in BROKEN])
def test_a_broken_form_is_told_in_awss_words(
    ask: Ask, row: tuple[str, str, bytes, int, str]
) -> None:
    service, form, _, status, code = row
    developer = Credentials("test", "test")
    found = ask(service, "POST", "/", {"Content-Type": FORM}, form.encode(), credentials=developer)
    assert (found.status, code in found.body.decode()) == (status, True)


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 100_000, b'{"a": 1e999'])
def test_what_is_no_json_is_a_400(ask: Ask, body: bytes) -> None:
    developer = Credentials("test", "test")
    for service, target in (("ecs", "AmazonEC2ContainerServiceV20141113.ListTasks"),):
        found = ask(service, "POST", "/", {"X-Amz-Target": target}, body, credentials=developer)
        assert (found.status, json.loads(found.body)["__type"]) == (400, "SerializationException")
    path = "/2015-03-31/functions/none/invocations"
    found = ask("lambda", "POST", path, {}, body, credentials=developer)
    assert (found.status, b"InvalidRequestContentException" in found.body) == (400, True)


def test_a_key_or_parameter_that_is_not_utf_8_is_a_400(ask: Ask) -> None:
    developer = Credentials("test", "test")
    for target in ("/uploads/%ff", "/uploads?prefix=%ff"):
        found = ask("s3", "GET", target, credentials=developer)
        assert (found.status, b"InvalidURI" in found.body) == (400, True)
