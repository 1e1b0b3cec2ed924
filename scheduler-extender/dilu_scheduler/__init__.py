"""Resourcing-complementary scheduling: which GPUs a replica runs on."""
