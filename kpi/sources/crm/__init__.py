"""Exports of CRM systems: their headers and values as data, and the columns made of them."""
