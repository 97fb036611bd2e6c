"""What layers/ and templates/ offer: runtimes, services, templates. All of it is declarations; nothing is run here."""

from fnctl.catalog.folders import layers_dir, templates_dir
from fnctl.catalog.runtime import (
    ARCHITECTURES,
    Download,
    Fetch,
    Layer,
    Requirements,
    command_runtime,
    default_runtimes,
    layers,
    read_layer,
    runtime_of,
    runtimes,
)
from fnctl.catalog.service import SERVICE_FILE, SERVICE_SNIPPET, read_service_type, service_types

__all__ = [
    "ARCHITECTURES",
    "SERVICE_FILE",
    "SERVICE_SNIPPET",
    "Download",
    "Fetch",
    "Layer",
    "Requirements",
    "command_runtime",
    "default_runtimes",
    "layers",
    "layers_dir",
    "read_layer",
    "read_service_type",
    "runtime_of",
    "runtimes",
    "service_types",
    "templates_dir",
]
