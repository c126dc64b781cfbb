"""Lucene: the room that knows the JVM, and never torch or transformers.

Importing it starts the JVM with the Java that `jvm.find_java` chooses. Whoever imports it before Pyserini therefore
has a working Pyserini on a machine without a system JDK.
"""

from contextlib import suppress

from splade_lucene.errors import JvmError
from splade_lucene.lucene import jvm

# Where Java is broken the import still succeeds, so that `doctor` can say what is wrong; first use raises it again.
with suppress(JvmError):
    jvm.start()
