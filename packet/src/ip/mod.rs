//! IP, UDP, TCP and ICMP headers of the packets we carry.
