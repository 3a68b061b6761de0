"""Weight files of the true architectures with random numbers: what the hubs give in form and size, not in content.

RN101 is CLIP's image encoder in timm's names; YOLOv5s is ultralytics' checkpoint. Both are found by their names.
"""

from __future__ import annotations

from pathlib import Path

RN101, YOLOV5S = "resnet101_clip.openai.safetensors", "yolov5su.pt"


def make_weights(folder: Path) -> Path:
    """Write both files; those that are there are kept. Returns the folder."""
    import timm
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    if not (folder / RN101).exists():
        save_file(timm.create_model("resnet101_clip", pretrained=False).state_dict(), folder / RN101)
    if not (folder / YOLOV5S).exists():
        from ultralytics import YOLO

        YOLO("yolov5s.yaml", task="detect", verbose=False).save(str(folder / YOLOV5S))
    return folder
