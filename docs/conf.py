"""The site of these pages: ``make docs``, or ``python -m sphinx -W --keep-going -b html docs build/docs``.

The pages are Markdown that GitHub shows as well; only those of ``api/`` need the site.
"""

from pathlib import Path

from sphinx.addnodes import pending_xref

import mmdclpp.registry  # noqa: F401  first: it heals what the documented modules import
from mmdclpp import apis
from mmdclpp.version import __version__

project = 'mmdclpp'
copyright = 'the authors of mmdclpp'
release = __version__

extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon', 'sphinx.ext.mathjax', 'sphinx_copybutton']
myst_enable_extensions = ['dollarmath']
myst_fence_as_directive = ['math']  # ```math, as on GitHub
myst_heading_anchors = 4

autodoc_default_options = {'members': True, 'imported-members': True}
autodoc_inherit_docstrings = False  # those of mmpretrain are written for its own site
autodoc_member_order = 'bysource'
autodoc_typehints = 'none'  # docstrings have the types, with shapes
napoleon_use_ivar = True
# It loads functions as they are asked for, and autodoc shows only what is there.
vars(apis).update({name: getattr(apis, name) for name in apis.__all__})

# A name that docstrings refer to must be there. Types may be abbreviated (Tensor), and others' packages are not read.
nitpicky = True
nitpick_ignore_regex = [('py:class', r'(?!mmdclpp\.).*'), ('py:.*', r'(mm(engine|cv|pretrain|seg|det)|torch|timm)\..*')]

smartquotes = False  # it would make dashes of the two hyphens of a flag
highlight_language = 'text'  # of blocks that name none

html_theme = 'furo'
html_title = f'mmdclpp {release}'
html_theme_options = {
    'light_css_variables': {'color-brand-primary': '#0072B2', 'color-brand-content': '#0072B2'},
    'dark_css_variables': {'color-brand-primary': '#56B4E9', 'color-brand-content': '#56B4E9'},
}


def skip_fields(app, what, name, member, skip, options):
    """Leave out the fields of named tuples: the tuple's own docstring says what they hold."""
    return skip or (getattr(member, '__doc__', None) or '').startswith('Alias for field number')


def unlink_folders(app, doctree):
    """Show links to folders of the repository as text; a file outside ``docs/`` is copied to the site by MyST."""
    folder = Path(app.env.doc2path(app.env.docname)).parent
    for reference in list(doctree.findall(pending_xref)):
        unknown = reference.get('reftype') == 'myst' and reference.get('refdomain') is None
        if unknown and (folder / reference['reftarget']).is_dir():
            reference.replace_self(reference.children)


def setup(app):
    app.connect('autodoc-skip-member', skip_fields)
    app.connect('doctree-read', unlink_folders)
