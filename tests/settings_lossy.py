"""The portal over a layer that loses and doubles messages (`DJANGO_SETTINGS_MODULE=tests.settings_lossy`)."""

from tests.settings import *  # noqa: F403
from tests.settings import CHANNEL_LAYERS, REDIS_URLS

CHANNEL_LAYERS["default"]["BACKEND"] = (
    f"tests.layers.{'LossyRedisLayer' if REDIS_URLS else 'LossyInMemoryLayer'}"
)
