from slide_files import make_slide, ramp, real_slide

__all__ = ["make_slide", "ramp", "real_slide"]
