"""What runs inside Spark: one entry point, feature modules, transforms that they share."""
