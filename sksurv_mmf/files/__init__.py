"""How files are written, downloaded and recognised."""
