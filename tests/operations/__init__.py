"""Tests of what operators use: metrics, logs, admin, descriptions, deployment."""
