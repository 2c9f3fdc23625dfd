"""Worker processes and the supervisor above them. The server half does not import this package.

The processes of one program pass facts to each other in these environment variables, as JSON.
"""

WORKER_VARIABLE = "WSGISERVE_WORKER"  # to a worker, where the system has no fork
TRIAL_VARIABLE = "WSGISERVE_TRIAL"  # to a program that is checked before a re-exec
INHERITANCE_VARIABLE = "WSGISERVE_INHERITANCE"  # to the program after a re-exec
DEV_CHILD_VARIABLE = "WSGISERVE_DEV_CHILD"  # to a child of ``--dev``
VARIABLES = (WORKER_VARIABLE, TRIAL_VARIABLE, INHERITANCE_VARIABLE, DEV_CHILD_VARIABLE)
