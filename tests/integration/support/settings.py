"""What the environment says: which build to test, how large, and how patient to be."""

import os
import pathlib

REPO = pathlib.Path(__file__).resolve().parents[3]
BUILD = pathlib.Path(os.environ.get("SLUICE_BUILD", "build/release"))
if not BUILD.is_absolute():
    BUILD = REPO / BUILD
SLUICED = BUILD / "sluiced"
SLUICECTL = BUILD / "sluicectl"

LONG = os.environ.get("SLUICE_LONG") == "1"
SANITIZED = any(word in BUILD.name for word in ("asan", "tsan"))
# Sanitizers and busy machines stretch time; bounds are multiplied, timeouts under test are not.
PATIENCE = float(os.environ.get("SLUICE_PATIENCE", "4" if SANITIZED else "1.5"))


def scaled(short, long):
    return long if LONG else short


def patient(seconds):
    return seconds * PATIENCE
