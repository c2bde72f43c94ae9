"""The paper as it is submitted: pages of main text, limitations, figures that can be read, references that resolve."""
