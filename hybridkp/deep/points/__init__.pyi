from .export import export_aliked as export_aliked
