"""The cloud as scripts/deploy meets it: SCF, CAM, CLS, the tag service and COS, in a process of its own."""
