"""What any survival estimator is asked, and what it answers."""
