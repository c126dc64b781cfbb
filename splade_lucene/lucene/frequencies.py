"""How long posting lists are: what a query costs before it is asked."""

from collections.abc import Sequence

from splade_lucene.lucene import jvm
from splade_lucene.lucene.index import ImpactIndex


def document_frequencies(index: ImpactIndex, terms: Sequence[str]) -> list[int]:
    """df(t): how many documents have each term, 0 where the index lacks one, in the order of the terms.

    Read off the dictionary of the index's last commit, not off the postings. Deleted documents count until a merge
    drops them, as until then they cost a search something.
    """
    with jvm.calling(index.path):
        names = ("java.io.File", "org.apache.lucene.store.FSDirectory", "org.apache.lucene.index.DirectoryReader")
        file, directories, readers = map(jvm.java_class, names)
        term_of, utf8 = map(jvm.java_class, ("org.apache.lucene.index.Term", "org.apache.lucene.util.BytesRef"))
        directory = directories.open(file(str(index.path)).toPath())
        try:
            reader = readers.open(directory)
            try:
                # As bytes: pyjnius hands strings over in an encoding of Java's own.
                return [int(reader.docFreq(term_of("contents", utf8(term.encode())))) for term in terms]
            finally:
                reader.close()
        finally:
            directory.close()
