"""The drafter of 'Mixture of Attentions For Speculative Decoding' (arXiv 2410.03804)."""
