"""Seeing into the service: metrics, logs, and a short history for the dashboard.

Nothing here decides anything: it is told what happened, and must neither fail nor
slow what it watches.
"""
