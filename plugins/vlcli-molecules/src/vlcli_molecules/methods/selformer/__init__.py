"""SELFormer: a RoBERTa that reads SELFIES, pre-trained by masked symbols and fine-tuned to molecular properties."""
