"""What all tests share: one thread, so that tests running side by side do not fight for cores."""

import torch

torch.set_num_threads(1)
