#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""word.py OUT - a Word document for tests/retrieve/test_reader.c, by python-docx 1.2.0."""
import sys

import docx

d = docx.Document()
d.core_properties.title = "Bridges & Towers"
d.add_heading("Bridges", 1)
p = d.add_paragraph("The old ")
p.add_run("stone").bold = True
p.add_run(" bridge was built in 1874.")
d.add_heading("Repairs", 2)
d.add_paragraph("new deck", style="List Bullet")
d.add_paragraph("new\trails", style="List Number")
t = d.add_table(2, 2)
for i, text in enumerate(["Year", "Cost", "1901", "20 < 30"]):
    t.cell(i // 2, i % 2).text = text
d.add_paragraph("The end.")
d.save(sys.argv[1])
