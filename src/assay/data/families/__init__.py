"""The task families, one file each: every file here is imported and registers what it defines."""
