"""Every error that `splade_lucene` raises about the world outside the program.

May be imported by every room; imports nothing. A message says what happened, where, and what to do.

    SpladeLuceneError
      ConfigError              an option, a configuration file or a manifest holds a value that cannot be used
      FormatError              a file of texts, vectors, a run or qrels is malformed: file:line, the line
      WeightError              a weight is not finite and >= 0, or an impact does not fit in a posting
      EncoderError             a model could not be loaded or gave something unusable
        ModelNotFoundError     no model at this path, under this hub name
      ImpactIndexError         (not IndexError: that is Python's)
        IndexNotFoundError     no finished index in this folder
        IndexExistsError       refuses to overwrite; says how
        IndexLockedError       another process is writing this index
        IndexMismatchError     the index was made for another vocabulary or by a newer version: both named
        IncompleteIndexError   documents given != documents in Lucene
        CorruptIndexError      Lucene cannot read what is in the folder
      SearchError              a search that cannot be answered
      TrainingError            a training run that cannot go on
      JvmError                 no Java, Java too old, or the JVM already runs with other options

`ValueError` and `TypeError` are kept for a programmer's misuse of one argument.
"""


class SpladeLuceneError(Exception):
    """Base class: everything below is caught with it."""


class ConfigError(SpladeLuceneError):
    """An option, a configuration file or a manifest holds a value that cannot be used."""


class FormatError(SpladeLuceneError):
    """A file of texts, vectors, a run or qrels is malformed."""


class WeightError(SpladeLuceneError):
    """A weight is not finite and >= 0, or an impact does not fit in a posting."""


class EncoderError(SpladeLuceneError):
    """A model could not be loaded, or gave something unusable."""


class ModelNotFoundError(EncoderError):
    """There is no model at this path or under this hub name."""


class ImpactIndexError(SpladeLuceneError):
    """Something is wrong with an index on disk."""


class IndexNotFoundError(ImpactIndexError):
    """There is no finished index in this folder."""


class IndexExistsError(ImpactIndexError):
    """The target exists already and would be overwritten."""


class IndexLockedError(ImpactIndexError):
    """Another process is writing this index."""


class IndexMismatchError(ImpactIndexError):
    """The index was made for another vocabulary, or by a newer version of this package."""


class IncompleteIndexError(ImpactIndexError):
    """Lucene holds another number of documents than it was given."""


class CorruptIndexError(ImpactIndexError):
    """Lucene cannot read what is in the folder."""


class SearchError(SpladeLuceneError):
    """A search that cannot be answered."""


class TrainingError(SpladeLuceneError):
    """A training run that cannot go on: what was seen, and what may help."""


class JvmError(SpladeLuceneError):
    """No Java, a Java that is too old, or a JVM that already runs with other options."""
