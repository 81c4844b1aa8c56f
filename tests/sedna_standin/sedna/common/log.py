import logging
import os

LOGGER = logging.getLogger(os.environ.get("JOB_NAME", "sedna"))
if not LOGGER.handlers:
    LOGGER.addHandler(logging.StreamHandler())
LOGGER.propagate = False
