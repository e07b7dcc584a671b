"""What SkyPilot says of tasks, volumes and command lines; run by its own Python, which lacks all of dermtune's.

Takes a JSON list of {"kind", "config", "secrets"} and prints one of facts, or of {"error"} where SkyPilot refuses.
A command's config is its arguments.
"""

import json
import sys

import click
import sky
from sky import clouds
from sky.client.cli.command import cli
from sky.volumes.volume import Volume


def task(config, secrets):
    made = sky.Task.from_yaml_config(config, secrets_overrides=secrets)
    (resources,) = made.resources
    asked = made.get_required_cloud_features() | resources.get_required_cloud_features()
    if resources.autostop_config.down:
        asked |= {clouds.CloudImplementationFeatures.AUTODOWN}
    elif resources.autostop_config.enabled:
        asked |= {clouds.CloudImplementationFeatures.AUTOSTOP, clouds.CloudImplementationFeatures.STOP}
    resources.cloud.check_features_are_supported(resources, asked)
    return {
        "cloud": str(resources.cloud),
        "accelerators": resources.accelerators,
        "down_after_minutes": resources.autostop_config.idle_minutes,
        "volumes": made.volumes,
        "secrets": sorted(made.secrets),
    }


def volume(config, secrets):
    made = Volume.from_yaml_config(config)
    made.validate()
    return {"name": made.name, "cloud": made.cloud, "zone": made.zone, "size": made.size}


def command(config, secrets):
    """What the command line is taken for; nothing of it is run."""
    context, taken = cli.make_context("sky", config), cli
    while isinstance(taken, click.Group):
        name, taken, rest = taken.resolve_command(context, context.protected_args + context.args)
        context = taken.make_context(name, rest, parent=context)
    return {name: value for name, value in context.params.items() if value}


def answer(asked):
    try:
        return {"task": task, "volume": volume, "command": command}[asked["kind"]](
            asked["config"], asked.get("secrets")
        )
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
        return {"error": f"{type(error).__name__}: {error}"}


json.dump([answer(asked) for asked in json.load(sys.stdin)], sys.stdout)
