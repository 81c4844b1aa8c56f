"""Plato as far as Sedna's classes call it. As the real one it ends its processes by os._exit."""
