"""Text+Chem T5 (Christofidellis et al., ICML 2023): one T5 for five prompted tasks of chemistry and language."""
