"""The five tasks of Text+Chem T5 and data for them: procedural, or from files."""
