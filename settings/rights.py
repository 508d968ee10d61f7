"""`jobs.NAME.policies`: what a container's own AWS calls may do besides what its work needs."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from .values import Section, Text, matching

# The rules of the policy pack, which would refuse the same later: policy/rules.py.
Action = Annotated[
    str,
    matching(
        r"[a-z0-9-]+:[A-Za-z0-9]+",
        "an action is service:Name, such as dynamodb:GetItem, without *: name what is used",
    ),
]
ResourceArn = Annotated[
    str,
    matching(
        r"arn:[a-z-]+:[a-z0-9-]+:[^:\s]*:[^:\s]*:\S+",
        "must be an ARN, with * only in its last part: name what is used",
    ),
]
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
Operator = Annotated[
    Text,
    matching(
        r"Null|(For(AllValues|AnyValue):)?"
        r"(String(Not)?(Equals(IgnoreCase)?|Like)|(Numeric|Date)(Not)?Equals"
        r"|(Numeric|Date)(Less|Greater)Than(Equals)?|Bool|BinaryEquals|(Not)?IpAddress"
        r"|Arn(Not)?(Equals|Like))(IfExists)?",
        "must be an operator of IAM's conditions, such as StringEquals",
    ),
]
ManagedPolicyArn = Annotated[
    str,
    matching(
        r"arn:[a-z-]+:iam::(aws|\d{12}):policy/"
        r"(?!.*(AdministratorAccess|PowerUserAccess|FullAccess)$)\S+",
        "must be the ARN of a managed policy, and none that grants everything of a service: "
        "write policies of what is used",
    ),
]


class StatementSettings(Section):
    """One statement that allows `actions` on `resources`."""

    actions: Annotated[tuple[Action, ...], Field(min_length=1)]
    resources: Annotated[tuple[ResourceArn, ...], Field(min_length=1)]
    conditions: dict[Operator, dict[Text, Text | tuple[Text, ...]]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _hands_over_no_role(self) -> Self:
        if any("*" in part for arn in self.resources for part in arn.split(":", 5)[:5]):
            raise ValueError("resources: * may stand only in the last part of an ARN")
        for action in ("iam:PassRole", "ecs:RunTask", "sts:AssumeRole"):
            if action in self.actions and any("*" in arn for arn in self.resources):
                raise ValueError(f"{action} on a pattern lets a task become anything: name the ARN")
        services = self.conditions.get("StringEquals", {}).get("iam:PassedToService")
        if "iam:PassRole" in self.actions and not isinstance(services, str):
            raise ValueError(
                "iam:PassRole needs the condition StringEquals iam:PassedToService with one service"
            )
        return self
