"""What programs are made of: how a training, a judgement or a report goes from its first line to its last."""
