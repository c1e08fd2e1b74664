//! The data header of LISP, LISP-GPE, VXLAN-GPE and VXLAN (RFC 9300 §5.1, RFC 9305, RFC 7348).
