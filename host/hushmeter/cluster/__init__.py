"""A street at the utility: enrolment, slot aggregation, dropout recovery, durable store."""
