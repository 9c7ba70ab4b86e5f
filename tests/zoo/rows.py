"""All rows of the zoo."""

from tests.zoo import timm_rows, torch_rows, torchvision_rows, transformers_rows

ROWS = [
    *torch_rows.ROWS,
    *torchvision_rows.ROWS,
    *timm_rows.ROWS,
    *transformers_rows.ROWS,
]
