"""The live pages: a home's control panel and the operator's market display.

They are separate programs over separate folders (`homefolder`, `operatorfolder`), so that what a
home keeps is on no page but its own. A page is one self-contained document that holds no data; it
asks for them with the token that the program printed (`access`).
"""
