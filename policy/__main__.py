"""The rules as a Pulumi policy pack: `pulumi up --policy-pack policy`."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyPack,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError
from rules import RULES, STACK_RULES, UNKNOWN, Resource, Rule, StackRule


def _resource_policy(rule: Rule) -> Policy:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        resource = Resource(args.resource_type, args.name, args.urn, _known(args.props))
        for message in rule.check(resource):
            report(message, None)

    return ResourceValidationPolicy(rule.name, rule.description, validate)


def _stack_policy(rule: StackRule) -> Policy:
    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        stack = [_of_stack(resource) for resource in args.resources]
        for resource in stack:
            for message in rule.check(resource, stack):
                report(message, resource.urn)

    return StackValidationPolicy(rule.name, rule.description, validate)


def _of_stack(resource: PolicyResource) -> Resource:
    depends_on = frozenset(other.urn for other in resource.dependencies)
    return Resource(
        resource.resource_type, resource.name, resource.urn, _known(resource.props), depends_on
    )


def _known(value: Any) -> Any:  # noqa: ANN401 JSON
    """The properties as plain data: the pack's own raise when what is not yet known is read."""
    if isinstance(value, Mapping):
        mapping = cast("Mapping[str, Any]", value)
        return {key: _read(mapping, key) for key in mapping}
    if isinstance(value, str) or not hasattr(value, "__getitem__"):
        return value
    return list(_items(value))


def _items(sequence: Any) -> Iterator[Any]:  # noqa: ANN401 JSON
    for index in range(len(sequence)):
        yield _read(sequence, index)


def _read(container: Any, key: str | int) -> Any:  # noqa: ANN401 JSON
    try:
        return _known(container[key])
    except UnknownValueError:
        return UNKNOWN


PolicyPack(
    "fargate-batch",
    [*map(_resource_policy, RULES), *map(_stack_policy, STACK_RULES)],
    EnforcementLevel.MANDATORY,
)
