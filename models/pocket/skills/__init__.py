"""The skills pocket is taught: each module invents question-and-answer pairs for one family."""
