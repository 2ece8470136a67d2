"""What a run tells, as log lines (`logs`)."""
