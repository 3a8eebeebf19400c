"""Figures told: terminal, tables, workbook, pictures, and a page to hand on."""
